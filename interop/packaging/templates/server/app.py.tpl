"""The server of $title, for `uvicorn server.app:app`, and as it is in the image: `python -m server.app`."""
$import_path
from interop.packaging import Application

app = Application($serves)


def main() -> None:
    """Serve until a signal comes, at port 8000 if nothing else is said."""
    app.main()


if __name__ == "__main__":
    main()
