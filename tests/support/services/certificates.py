"""Certificates for tests, made by `openssl`."""

from __future__ import annotations

import subprocess
from pathlib import Path


def certificate(directory: Path, name: str, authority: Path | None) -> Path:
    """A certificate, signed by `authority` or by itself; its key lies beside it."""
    made = directory / f"{name}.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={name}"]
    if authority is not None:
        command += ["-CA", str(authority), "-CAkey", f"{authority}.key", "-addext", "basicConstraints=CA:FALSE"]
    subprocess.run([*command, "-out", str(made), "-keyout", f"{made}.key"], check=True, capture_output=True)
    return made
