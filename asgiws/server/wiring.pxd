# Types of wiring.py.
cimport cython
from asgiws.bridge.outlet cimport Driver
from asgiws.drivers.http cimport HTTPDriver
from asgiws.drivers.http_parts cimport HTTPParts
from asgiws.net.connection cimport Connection
from asgiws.net.loop_io cimport LoopIO
from asgiws.services.runtime cimport Runtime


cpdef Driver first_driver(Runtime runtime, HTTPDriver http)
