/* The C of slots.pxd: a slot of a type that Cython does not fill. */
#ifndef ASGIWS_BRIDGE_SLOTS_H
#define ASGIWS_BRIDGE_SLOTS_H

#include <Python.h>

/* Python 3.10 and later look for it in any awaitable; 3.12 and later in fewer places. */
static inline void asgiws_set_am_send(PyObject *type, PySendResult (*function)(PyObject *, PyObject *, PyObject **)) {
    ((PyTypeObject *) type)->tp_as_async->am_send = function;
}

#endif
