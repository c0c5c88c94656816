"""A script that does not know trainwire: parameters from one variable, the outcome as the exit code.

trainwire run --grid lr=0.1,0.01 -- python examples/plain_script.py
"""

import json
import math
import os
import sys

params = json.loads(os.environ.get("TRAINWIRE_PARAMS", "{}"))
lr = params.get("lr", 0.1)

# Gradient descent on a narrow valley, (x - 3)² + 5 (y + 1)².
x = y = 0.0
for step in range(200):
    x -= lr * 2 * (x - 3)
    y -= lr * 10 * (y + 1)
    if step % 50 == 0:
        print(f"step {step:3}  x {x:.4f}  y {y:.4f}")

if math.hypot(x - 3, y + 1) > 0.1:
    sys.exit(f"lr={lr} did not reach the minimum: x {x:.4g}, y {y:.4g}")
print(f"lr={lr} reached the minimum: x {x:.4f}, y {y:.4f}")
