"""The migrations, inside the package so that the wheel can apply them as the checkout does."""
