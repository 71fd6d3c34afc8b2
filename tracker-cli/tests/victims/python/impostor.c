/* Says that it is a CPython of the version VERSION and is not: a layout that is wrong. Whoever believes it reads garbage.
   DEPTH says how far its objects look right: the deeper, the more is believed. */
#include <stdio.h>
#include <stdlib.h>

#define NOWHERE ((void *)0x123450)

unsigned long Py_Version = VERSION;
static void end_of_code(void *code) { (void)code; }
static void *some_text[16], *some_lines[16], *code[64], *frames[3][32], *record[8], *state[64];
void *_PyRuntime[128];
void *PyUnicode_Type[64], *PyBytes_Type[64];
void *PyCode_Type[64] = {[3] = "code", [6] = end_of_code};

void *PyGILState_GetThisThreadState(void) { return DEPTH == 0 ? NOWHERE : state; }
void *_PyThreadState_UncheckedGet(void) { return PyGILState_GetThisThreadState(); }
void *PyThreadState_GetUnchecked(void) { return PyGILState_GetThisThreadState(); }
void *PyInterpreterState_Head(void) { return state; }
void *PyInterpreterState_Next(void *interpreter) { return interpreter == state ? state : 0; }
void *_PyEval_EvalFrameDefault(void) { return 0; }

int main(void) {
    /* Offsets of 3.11, in words. */
    state[7] = DEPTH == 1 ? NOWHERE : record;
    record[1] = DEPTH == 2 ? (char *)frames[0] + 3 : (char *)frames[0];
    for (int at = 0; at < 3; at++) {
        frames[at][6] = DEPTH == 3 ? NOWHERE : DEPTH == 4 ? frames[(at + 1) % 3] : at < 2 ? frames[at + 1] : 0;
        frames[at][4] = DEPTH <= 5 ? NOWHERE : code;
    }
    code[1] = DEPTH == 6 ? NOWHERE : PyCode_Type;
    code[14] = DEPTH == 7 ? NOWHERE : (void *)some_text;
    code[16] = some_text;
    code[17] = some_lines;
    some_text[1] = PyUnicode_Type;
    some_text[2] = (void *)-1l; /* length */
    some_text[4] = (void *)(DEPTH == 8 ? -1l : 0x64l);
    some_lines[1] = PyBytes_Type;
    some_lines[2] = (void *)(DEPTH == 9 ? 0x7fffffffl : 4l << 20);
    for (int turn = 0; turn < 100; turn++)
        if (!malloc(1000 + turn))
            return 1;
    puts("done");
}
