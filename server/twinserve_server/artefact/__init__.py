"""Model versions on disk: the manifest, the repository, the hashes."""
