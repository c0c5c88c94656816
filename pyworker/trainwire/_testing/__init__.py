"""What stands behind `trainwire.testing`. It does not import pytest: trainers are started from here."""
