"""What robot and person say in `async-agent bench voice`."""

STORY = ('The old lighthouse stands on a small island far away from the coast. Every evening the '
         'keeper climbs two hundred steps to light the lamp at the top. One night in winter a '
         'heavy storm came up and a ship lost its way in the dark. The keeper rang the great bell '
         'for many hours until the ship had found the harbour. Since that night the people of the '
         'village bring him bread and fish every Sunday.')

# Stretches of speech and the pauses after them: fillers, corrections, dictated numbers.
QUESTIONS = (
    (('What is your battery level?', 0.0),),
    (('Bring me the red cup and', 0.7), ('the blue plate.', 0.0)),
    (('Please drive to the kitchen.', 0.0),),
    (('Go to the, um,', 0.6), ('to the living room.', 0.0)),
    (('Where did you put the keys?', 0.0),),
    (('My number is zero one seven', 0.6), ('six four two.', 0.0)),
    (('Look for a chair in the office.', 0.0),),
    (('Drive to the office, no,', 0.4), ('to the kitchen.', 0.0)),
    (('Can you tell me the time?', 0.0),),
    (('I would like a glass of', 0.5), ('orange juice.', 0.0)),
)
INTERRUPTIONS = ('Stop!', 'Wait a moment, please.', 'No, go to the kitchen instead.',
                 'Can you come over here?', 'Stop talking, please.')
BACKCHANNELS = ('Okay.', 'Yeah.', 'Right.', '')
"""'' is a cough."""
