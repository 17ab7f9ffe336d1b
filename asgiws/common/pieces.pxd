# Types of pieces.py.

cdef Py_ssize_t _JOIN_BELOW

cpdef object add(list pieces, bytes piece)
cpdef bytes join(list pieces)
