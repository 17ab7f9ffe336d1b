# The compiled twin of steps.py, inlined into the modules that cimport it. Same function, same meaning.
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF

cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_ERROR
        PYGEN_NEXT
    PySendResult PyIter_Send(object coroutine, object value, PyObject** result) except? PYGEN_ERROR
    Py_ssize_t Py_REFCNT(object thing) noexcept
    object PyObject_CallOneArg(object function, object argument)
    dict PyObject_GenericGetDict(object thing, void* context)
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1

ctypedef object (*Function)(object)


cdef inline object call(object context, object function, object argument):
    PyContext_Enter(context)
    try:
        PyObject_CallOneArg(function, argument)
    finally:
        PyContext_Exit(context)


cdef inline object call_inline(object context, Function function, object argument):
    PyContext_Enter(context)
    try:
        function(argument)
    finally:
        PyContext_Exit(context)


cdef inline Py_ssize_t references(object thing) noexcept:
    return Py_REFCNT(thing)


cdef inline bint has_attributes(object task) except -1:
    return len(PyObject_GenericGetDict(task, NULL)) > 0


cdef inline object send(object coroutine):
    cdef PyObject* result = NULL
    cdef PySendResult kind = PyIter_Send(coroutine, None, &result)
    value = <object> result
    Py_DECREF(value)  # the call gave us a reference, and the line above took another
    return value if kind == PYGEN_NEXT else coroutine
