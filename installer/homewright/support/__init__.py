"""Support bundles: what went wrong on somebody's site, in one file without secrets that opens as a rehearsal."""

from homewright.support.contents import Contents
from homewright.support.opening import unpack
from homewright.support.packing import pack

__all__ = ["Contents", "pack", "unpack"]
