# The compiled twin of scan.py, inlined into the modules that cimport it. Same functions, same meaning.
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

cdef extern from "asgiws/http/scan.h":
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


cdef inline object lowered(object name):
    cdef Py_ssize_t size, index
    cdef const unsigned char* octet
    if type(name) is bytes:
        size = PyBytes_GET_SIZE(name)
        octet = <unsigned char*> PyBytes_AS_STRING(name)
        for index in range(size):
            if 65 <= octet[index] <= 90:
                return (<bytes> name).lower()
        return name
    return name.lower()


cdef inline bytes joined(bytes one, bytes two, bytes three, bytes four, bytes five):
    cdef Py_ssize_t first = PyBytes_GET_SIZE(one), second = PyBytes_GET_SIZE(two)
    cdef Py_ssize_t third = PyBytes_GET_SIZE(three), fourth = PyBytes_GET_SIZE(four)
    cdef Py_ssize_t fifth = PyBytes_GET_SIZE(five)
    cdef bytes whole = PyBytes_FromStringAndSize(NULL, first + second + third + fourth + fifth)
    cdef char* out = PyBytes_AS_STRING(whole)
    memcpy(out, PyBytes_AS_STRING(one), first)
    memcpy(out + first, PyBytes_AS_STRING(two), second)
    memcpy(out + first + second, PyBytes_AS_STRING(three), third)
    memcpy(out + first + second + third, PyBytes_AS_STRING(four), fourth)
    memcpy(out + first + second + third + fourth, PyBytes_AS_STRING(five), fifth)
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
