"""Every test process has a ROS domain of its own; what it starts inherits it."""
import os

from domains import reserve

os.environ['ROS_DOMAIN_ID'] = str(reserve())
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ['HF_HUB_OFFLINE'] = '1'
