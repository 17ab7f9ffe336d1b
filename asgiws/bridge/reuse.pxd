# Types of reuse.py.
cimport cython
from asgiws.bridge cimport steps
from asgiws.bridge.tasks cimport Job, Runner, start

cdef object _Task
cdef object _enter_task
cdef object _leave_task
cdef object getweakrefcount


cdef class ReusableRunner(Runner):
    cdef Py_ssize_t _references

    @cython.locals(references=Py_ssize_t, weak=Py_ssize_t, is_as_before=bint)
    cdef bint try_run(self, Job job, object context) except -1
    cdef bint is_free(self) except -1


cdef class Spare:
    cdef object _context
    cdef bint _is_on
    cdef object _loop
    cdef ReusableRunner _runner

    @cython.locals(runner=ReusableRunner)
    cpdef object start(self, Job job, object context)
    cdef object _keep(self, ReusableRunner runner)


cdef bint _is_clean(object task) except -1
