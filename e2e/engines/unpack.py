"""Unpacks the Python sources of a wheel, which are a small part of it: `unpack.py WHEEL FOLDER`."""

import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    wheel.extractall(sys.argv[2], [name for name in wheel.namelist() if name.endswith(".py")])
