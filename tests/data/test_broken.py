import pickle

from convgraft.data import BrokenImage
from convgraft.errors import DataError


def test_it_is_a_data_error_that_names_the_image():
    error = BrokenImage("cat/1.png", "is empty")
    assert isinstance(error, DataError)
    assert (str(error), error.id, error.reason) == ("cat/1.png is empty", "cat/1.png", "is empty")


def test_it_survives_pickling():
    error = pickle.loads(pickle.dumps(BrokenImage("cat/1.png", "is empty")))
    assert (error.id, error.reason, str(error)) == ("cat/1.png", "is empty", "cat/1.png is empty")
