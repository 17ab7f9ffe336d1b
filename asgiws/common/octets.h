/* The C of octets.pxd. */
#ifndef ASGIWS_COMMON_OCTETS_H
#define ASGIWS_COMMON_OCTETS_H

#include <Python.h>
#include <stdint.h>
#include <string.h>

/* Whether none of n octets at p has its highest bit set. */
static inline int asgiws_is_ascii(const unsigned char *p, Py_ssize_t n) {
    uint64_t word, seen = 0;
    Py_ssize_t i;
    for (i = 0; i + 8 <= n; i += 8) {
        memcpy(&word, p + i, 8);
        seen |= word;
    }
    for (; i < n; i++)
        seen |= p[i];
    return (seen & UINT64_C(0x8080808080808080)) == 0;
}

#endif
