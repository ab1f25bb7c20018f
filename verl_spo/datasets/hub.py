"""A set's files on the Hugging Face hub, in the local cache."""

from pathlib import Path

from verl_spo.errors import DataError

# Beside the data lie cards, scripts and pictures.
_WANTED = ("*.parquet", "*.json", "*.jsonl")


def download(repository: str, revision: str | None) -> tuple[Path, str]:
    """The folder with a repository's data files, and the commit that they are of.

    Raises:
        DataError: The hub cannot be reached, or has no such repository or revision.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(repository, repo_type="dataset", revision=revision, allow_patterns=_WANTED))
    # The library's own errors, and those of the connection.
    except OSError as error:
        at = f" at --revision {revision}" if revision else ""
        raise DataError(
            f"{repository}{at}: cannot be had from the Hugging Face hub ({type(error).__name__}: {error}); where there "
            "is a connection, `hf download --repo-type dataset` makes a folder of it for --from FOLDER"
        ) from error
    # The cache names the folder so.
    return folder, folder.name
