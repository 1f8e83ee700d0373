"""An own ROS domain for this test process, and the helpers beside the tests importable."""
import os
import sys

os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
os.environ.setdefault('ROS_DOMAIN_ID', str(20 + os.getpid() % 60))
sys.path.insert(0, os.path.dirname(__file__))
