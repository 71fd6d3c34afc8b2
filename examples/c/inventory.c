/* A list of things, parsed: what memory budgets are tried on. */
#include <memtrack.h>
#include <stdio.h>
#include <stdlib.h>

static char *item(int number) {
    char text[32];
    snprintf(text, sizeof text, "item %d", number);
    return strdup(text);
}

int main(void) {
    char *items[100];
    uint64_t parse = memtrack_begin("parse");
    for (int number = 0; number < 100; number++) items[number] = item(number);
    /* The change that breaks the budget: a block that is forgotten. */
    if (getenv("EXAMPLE_BREAK")) items[0] = strcpy(malloc(32), items[0]);
    memtrack_end(parse);
    for (int number = 0; number < 100; number++) free(items[number]);
    return 0;
}
