# The compiled twin of slots.py.
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from asgiws.bridge.calls cimport Call

cdef extern from "asgiws/bridge/slots.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT
    int asgiws_set_am_send(
        object kind, PySendResult (*function)(PyObject*, PyObject*, PyObject**) except PYGEN_ERROR
    ) except -1


cdef inline PySendResult call_am_send(
    PyObject* call, PyObject* value, PyObject** result
) except PYGEN_ERROR:
    result[0] = NULL
    step = (<Call> call).step()
    Py_INCREF(step)  # the caller's
    result[0] = <PyObject*> step
    return PYGEN_RETURN if (<Call> call).has_ended() else PYGEN_NEXT


cdef inline object install(object kind):
    asgiws_set_am_send(kind, call_am_send)


cdef inline Call new(type kind, object owner, object message):
    cdef Call call = <Call> kind.__new__(kind)
    call._owner = owner
    call._message = message
    return call
