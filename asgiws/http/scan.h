/* The C of scan.pxd: loops over the octets of a head. */
#ifndef ASGIWS_HTTP_SCAN_H
#define ASGIWS_HTTP_SCAN_H

#include <Python.h>
#include <string.h>

/* Of each octet: 1 for a tchar (RFC 9110, 5.6.2), 2 for what a field value may hold (5.5), 4 for what
   a request target may (grammar.py). */
static const unsigned char asgiws_class[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    2, 7, 6, 7, 7, 7, 7, 7, 6, 6, 7, 7, 6, 7, 7, 6,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 6, 6, 6, 6, 6, 6,
    6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 6, 6, 6, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 6, 7, 6, 7, 0,
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
    2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2,
};
#define ASGIWS_SKIP(kind) while (i < n && (asgiws_class[p[i]] & (kind))) i++
#define ASGIWS_CRLF(at) ((at) + 2 <= n && p[at] == 13 && p[(at) + 1] == 10)
/* Nothing behind p[n - 1] is read: every look is behind a comparison with n. */
static inline int asgiws_request_head(
    const unsigned char *p, Py_ssize_t n, Py_ssize_t *method, Py_ssize_t *target, Py_ssize_t *lines
) {
    Py_ssize_t i = 0, from;
    ASGIWS_SKIP(1);
    if (i == 0 || i == n || p[i] != ' ')
        return 0;
    *method = i;
    from = ++i;
    ASGIWS_SKIP(4);
    if (i == from || i == n || p[i] != ' ')
        return 0;
    *target = i;
    i++;
    if (i + 10 > n || memcmp(p + i, "HTTP/", 5) || p[i + 5] < '0' || p[i + 5] > '9' || p[i + 6] != '.'
            || p[i + 7] < '0' || p[i + 7] > '9' || !ASGIWS_CRLF(i + 8))
        return 0;
    i += 10;
    *lines = 0;
    while (!ASGIWS_CRLF(i)) {
        from = i;
        ASGIWS_SKIP(1);
        if (i == from || i == n || p[i] != ':')
            return 0;
        ASGIWS_SKIP(2);
        if (!ASGIWS_CRLF(i))
            return 0;
        i += 2;
        *lines += 1;
    }
    return i + 2 == n;
}
/* memchr stops early enough for the three octets behind what it finds to be there. */
static inline Py_ssize_t asgiws_end_of_head(const char *p, Py_ssize_t n, Py_ssize_t start) {
    while (start + 4 <= n) {
        const char *found = (const char *) memchr(p + start, 13, (size_t) (n - start - 3));
        if (found == NULL)
            return -1;
        start = found - p;
        if (found[1] == 10 && found[2] == 13 && found[3] == 10)
            return start;
        start += 1;
    }
    return -1;
}
static inline int asgiws_all(const unsigned char *p, Py_ssize_t n, int kind) {
    Py_ssize_t i;
    int all = kind;
    for (i = 0; i < n; i++)
        all &= asgiws_class[p[i]];
    return all == kind;
}

#endif
