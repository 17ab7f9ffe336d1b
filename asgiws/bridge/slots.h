/* The C of slots.pxd: slots of a type that Cython does not fill.

   Python 3.10 and 3.11 look for am_send in any awaitable. From 3.12 on, `await` uses it only for a coroutine of
   Python's own, and otherwise tp_iternext, which hands over a result as a StopIteration. The one that Cython writes
   for __next__ makes a traceback and a frame for that, a sixth of the instructions of a message, and making and
   freeing the exception takes another 4 %. Here it has no traceback, and its memory is kept for the next. */
#ifndef ASGIWS_BRIDGE_SLOTS_H
#define ASGIWS_BRIDGE_SLOTS_H

#include <Python.h>

#if PY_VERSION_HEX >= 0x030C0000

static PyObject *asgiws_spare_stop = NULL;

static void asgiws_stop_dealloc(PyObject *stop) {
    PyObject_GC_UnTrack(stop);
    ((PyTypeObject *) PyExc_StopIteration)->tp_clear(stop);
    if (asgiws_spare_stop == NULL) {
        asgiws_spare_stop = stop; /* all its fields are NULL now */
    } else {
        PyObject_GC_Del(stop);
    }
}

/* A StopIteration whose `args` are empty: only code that does without `await` could see them. */
static PyTypeObject asgiws_stop_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "StopIteration",
    .tp_basicsize = sizeof(PyStopIterationObject),
    .tp_dealloc = asgiws_stop_dealloc,
    .tp_flags = Py_TPFLAGS_DEFAULT,
};

/* Set a StopIteration with that value, which it takes over. */
static inline void asgiws_stop_with(PyObject *value) {
    PyObject *stop = asgiws_spare_stop;
    if (stop != NULL) {
        asgiws_spare_stop = NULL;
        (void) PyObject_Init(stop, &asgiws_stop_type);
        PyObject_GC_Track(stop);
    } else {
        stop = asgiws_stop_type.tp_alloc(&asgiws_stop_type, 0);
        if (stop == NULL) {
            Py_DECREF(value);
            return;
        }
    }
    ((PyBaseExceptionObject *) stop)->args = PyTuple_New(0); /* the one that there is: it cannot fail */
    ((PyStopIterationObject *) stop)->value = value;
    PyErr_SetRaisedException(stop);
}

/* A step by tp_iternext, with the outcome of am_send. NULL without an exception stands for the result None. */
static PyObject *asgiws_next(PyObject *call) {
    PyObject *result = NULL;
    if (Py_TYPE(call)->tp_as_async->am_send(call, Py_None, &result) != PYGEN_RETURN) {
        return result; /* NULL after an error */
    }
    if (result == Py_None) {
        Py_DECREF(result);
    } else {
        asgiws_stop_with(result);
    }
    return NULL;
}

#endif

/* Returns -1 with an exception set if it fails. */
static inline int asgiws_set_am_send(PyObject *kind, PySendResult (*function)(PyObject *, PyObject *, PyObject **)) {
    PyTypeObject *type = (PyTypeObject *) kind;
#if PY_VERSION_HEX >= 0x030C0000
    asgiws_stop_type.tp_base = (PyTypeObject *) PyExc_StopIteration;
    if (PyType_Ready(&asgiws_stop_type) < 0) {
        return -1;
    }
    type->tp_iternext = asgiws_next;
#endif
    type->tp_as_async->am_send = function;
    return 0;
}

#endif
