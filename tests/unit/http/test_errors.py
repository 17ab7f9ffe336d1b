from __future__ import annotations

from http import HTTPStatus

import pytest

from asgiws.http import errors


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.BadRequest, HTTPStatus.BAD_REQUEST),
        (errors.RequestTimeout, HTTPStatus.REQUEST_TIMEOUT),
        (errors.URITooLong, HTTPStatus.REQUEST_URI_TOO_LONG),
        (errors.ExpectationFailed, HTTPStatus.EXPECTATION_FAILED),
        (errors.HeaderFieldsTooLarge, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
        (errors.NotImplementedHere, HTTPStatus.NOT_IMPLEMENTED),
        (errors.VersionNotSupported, HTTPStatus.HTTP_VERSION_NOT_SUPPORTED),
    ],
)
def test_an_error_carries_its_answer(kind: type[errors.HTTPError], status: HTTPStatus) -> None:
    error = kind("why")
    assert isinstance(error, errors.HTTPError)
    assert error.status == status
    assert error.message == str(error) == "why"


def test_the_application_s_mistake_is_a_value_error() -> None:
    assert issubclass(errors.InvalidResponse, ValueError)
