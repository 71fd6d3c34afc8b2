// `mark` for programs in other languages.
#define MARK_LINKAGE
#include "mark.h"
