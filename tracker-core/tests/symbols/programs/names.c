// Names as only an assembler can make them; it takes them in quotes.
// expect markup: <script>alert(1)</script> @markup
// expect quotes: it's;d,e% @quotes
// expect space: two words @space
// expect clone: spare.part.0 @clone
// expect at: user@host.example/x @at
#include "mark.h"

#define NAMED(c_name, linked_name) NOINLINE void c_name(void) __asm__(linked_name); void c_name(void)

NAMED(markup, "\"<script>alert(1)</script>\"") { MARK("markup"); } /*@markup*/
NAMED(quotes, "\"it's;d,e%\"") { MARK("quotes"); } /*@quotes*/
NAMED(space, "\"two words\"") { MARK("space"); } /*@space*/
NAMED(clone_, "spare.part.0") { MARK("clone"); } /*@clone*/
NAMED(at, "\"user@host.example/x\"") { MARK("at"); } /*@at*/

int main(void) {
    markup();
    quotes();
    space();
    clone_();
    at();
    return 0;
}
