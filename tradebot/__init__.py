"""The Django project and the floor that all apps stand on."""
