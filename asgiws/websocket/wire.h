/* The C of wire.pxd: masking, and the header of a frame. */
#ifndef ASGIWS_WEBSOCKET_WIRE_H
#define ASGIWS_WEBSOCKET_WIRE_H

#include <Python.h>
#include <stdint.h>
#include <string.h>

/* XOR of n octets at p with the key, from position `phase` of the key on. Written on octets of a
   64-bit pattern so that the byte order of the machine does not matter; the inner loop has no
   dependency between its turns and compilers vectorise it. */
static inline void asgiws_xor(unsigned char *p, Py_ssize_t n, uint32_t key, int phase) {
    unsigned char pattern[8];
    uint64_t word, mask;
    Py_ssize_t i;
    for (i = 0; i < 8; i++)
        pattern[i] = (unsigned char) (key >> (8 * ((i + phase) & 3)));
    memcpy(&mask, pattern, 8);
    for (i = 0; i + 8 <= n; i += 8) {
        memcpy(&word, p + i, 8);
        word ^= mask;
        memcpy(p + i, &word, 8);
    }
    for (; i < n; i++)
        p[i] ^= pattern[i & 7];
}
/* Writes the header of an unmasked frame; returns its length, at most 10. */
static inline Py_ssize_t asgiws_header(unsigned char *p, int first, uint64_t size) {
    int i;
    p[0] = (unsigned char) first;
    if (size < 126) {
        p[1] = (unsigned char) size;
        return 2;
    }
    if (size < 65536) {
        p[1] = 126;
        p[2] = (unsigned char) (size >> 8);
        p[3] = (unsigned char) size;
        return 4;
    }
    p[1] = 127;
    for (i = 0; i < 8; i++)
        p[2 + i] = (unsigned char) (size >> (8 * (7 - i)));
    return 10;
}

#endif
