"""HTTP: the application, its schemas, its errors and its static files."""
