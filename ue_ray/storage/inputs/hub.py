"""Data sets of the Hugging Face Hub, ``hf://datasets/OWNER/NAME[@revision]/...``, checked before they are opened."""

from ue_ray.errors import UserError, one_line

EXPECTED = "hf://datasets/OWNER/NAME[@revision]; a private one needs HF_TOKEN"


def check_hub(uri: str) -> None:
    """Raise UserError where ``uri`` is of the Hub and cannot be opened; other URIs pass.

    The Hub's filesystem is huggingface_hub's, and what it raises without a network is no OSError.
    """
    if not uri.startswith("hf://"):
        return
    import fsspec  # only here: it is not needed for local files and buckets

    try:
        filesystem, path = fsspec.core.url_to_fs(uri)
        filesystem.info(path)
    except ImportError:
        raise UserError(f"{uri}: hf:// needs huggingface_hub: pip install huggingface_hub") from None
    except FileNotFoundError:
        raise UserError(f"{uri}: does not exist (expected {EXPECTED})") from None
    except Exception as error:
        raise UserError(f"{uri}: cannot be read: {one_line(error)}") from error
