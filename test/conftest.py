"""Every test process has a ROS domain of its own; what it starts inherits it."""
import os

from domains import reserve
from hypothesis import settings

os.environ['ROS_DOMAIN_ID'] = str(reserve())
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ['HF_HUB_OFFLINE'] = '1'

# The same examples in every run, so that a failure belongs to the change that made it; look for new
# ones with HYPOTHESIS_PROFILE=random.
settings.register_profile('same', derandomize=True)
settings.register_profile('random')
settings.load_profile(os.environ.get('HYPOTHESIS_PROFILE', 'same'))
