"""Devices: what can time ONNX models. See `device.py` for what one is, `find.py` for how a target names one."""
