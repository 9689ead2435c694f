"""Alembic migrations of the profile tables; `SQLProfileStore.upgrade()` runs them."""
