# The compiled twin of scan.py, inlined into the modules that cimport it. Same functions, same meaning.
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

cdef extern from *:
    """
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
    """
    bint asgiws_request_head(
        const unsigned char* p, Py_ssize_t n, Py_ssize_t* method, Py_ssize_t* target, Py_ssize_t* lines
    ) noexcept nogil
    Py_ssize_t asgiws_end_of_head(const char* p, Py_ssize_t n, Py_ssize_t start) noexcept nogil
    bint asgiws_all(const unsigned char* p, Py_ssize_t n, int kind) noexcept nogil


cdef inline Py_ssize_t end_of_head(bytes data, Py_ssize_t start) noexcept:
    return asgiws_end_of_head(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), start)


cdef inline bytes piece(bytes data, Py_ssize_t start, Py_ssize_t end):
    return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + start, end - start)


cdef inline tuple request_head(bytes data, Py_ssize_t start, Py_ssize_t end):
    cdef Py_ssize_t method = 0, target = 0, lines = 0
    cdef const unsigned char* p = <unsigned char*> PyBytes_AS_STRING(data) + start
    if not asgiws_request_head(p, end - start, &method, &target, &lines):
        return None
    return start + method, start + target, lines


cdef inline Py_ssize_t number(object value):
    cdef Py_ssize_t size, found = 0
    cdef const unsigned char* digit
    if type(value) is not bytes:
        return -1
    size = PyBytes_GET_SIZE(value)
    if not 0 < size <= 18:
        return -1
    digit = <unsigned char*> PyBytes_AS_STRING(value)
    while size:
        if not 48 <= digit[0] <= 57:
            return -1
        found = 10 * found + (digit[0] - 48)
        digit += 1
        size -= 1
    return found


cdef inline bytes joined(bytes one, bytes two, bytes three, bytes four):
    cdef Py_ssize_t first = PyBytes_GET_SIZE(one), second = PyBytes_GET_SIZE(two)
    cdef Py_ssize_t third = PyBytes_GET_SIZE(three), fourth = PyBytes_GET_SIZE(four)
    cdef bytes whole = PyBytes_FromStringAndSize(NULL, first + second + third + fourth)
    cdef char* out = PyBytes_AS_STRING(whole)
    memcpy(out, PyBytes_AS_STRING(one), first)
    memcpy(out + first, PyBytes_AS_STRING(two), second)
    memcpy(out + first + second, PyBytes_AS_STRING(three), third)
    memcpy(out + first + second + third, PyBytes_AS_STRING(four), fourth)
    return whole


cdef inline bytes field_block(list pairs):
    cdef Py_ssize_t size = 0
    cdef Py_ssize_t name_size, value_size
    cdef bytes name, value, block
    cdef tuple pair
    cdef char* out
    for pair in pairs:
        if type(pair[0]) is not bytes or type(pair[1]) is not bytes:
            return None
        name = <bytes> pair[0]
        value = <bytes> pair[1]
        name_size = PyBytes_GET_SIZE(name)
        value_size = PyBytes_GET_SIZE(value)
        if (
            name_size == 0
            or not asgiws_all(<unsigned char*> PyBytes_AS_STRING(name), name_size, 1)
            or not asgiws_all(<unsigned char*> PyBytes_AS_STRING(value), value_size, 2)
        ):
            return None
        size += name_size + value_size + 4
    # The pairs are the same as in the loop above: nothing ran in between that could change the list.
    block = PyBytes_FromStringAndSize(NULL, size)
    out = PyBytes_AS_STRING(block)
    for pair in pairs:
        name = <bytes> pair[0]
        value = <bytes> pair[1]
        name_size = PyBytes_GET_SIZE(name)
        value_size = PyBytes_GET_SIZE(value)
        memcpy(out, PyBytes_AS_STRING(name), name_size)
        memcpy(out + name_size, b": ", 2)
        memcpy(out + name_size + 2, PyBytes_AS_STRING(value), value_size)
        memcpy(out + name_size + value_size + 2, b"\r\n", 2)
        out += name_size + value_size + 4
    return block
