"""Writes the JSON schema of ``stage.yaml`` for editors: ``python -m homewright.catalogue.schema FILE``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from homewright.catalogue.models import Stage
from homewright.site import described

if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(json.dumps(described.schema(Stage), indent=2, ensure_ascii=False) + "\n")
