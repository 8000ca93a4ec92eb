"""Settings every test runs under."""

import pytest
import torch
from hypothesis import settings

settings.register_profile("esper", deadline=None, print_blob=True)
settings.load_profile("esper")


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)
