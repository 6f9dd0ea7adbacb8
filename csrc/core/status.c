/* status.c - the text of the last error, one for each thread. */
#include "nnc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_BYTES = 1024 };

static _Thread_local char error_text[TEXT_BYTES];

nnc_status nnc_fail(nnc_status status, const char *format, ...)
{
    char text[TEXT_BYTES];      /* an argument may be error_text itself */
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0)
        text[0] = '\0';
    else if (length >= TEXT_BYTES)
        memcpy(text + TEXT_BYTES - 4, "...", 4);
    strcpy(error_text, text);
    return status;
}

const char *nnc_error_text(void)
{
    return error_text;
}
