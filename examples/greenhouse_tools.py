"""The tools of a robot in a greenhouse: what `async-agent train learn` can learn from."""
from typing import Annotated, Literal

from async_agent_ros.tools import tool, ToolContext, ToolError, ToolServer
from pydantic import Field
from typing_extensions import TypedDict

Bed = Literal['basil', 'cucumbers', 'lettuce', 'strawberries', 'tomatoes']
Litres = Annotated[int, Field(ge=1, le=20)]
Percent = Annotated[int, Field(ge=0, le=100)]
tank_litres = 60
moisture_percent = {'basil': 34, 'cucumbers': 52, 'lettuce': 28, 'strawberries': 45,
                    'tomatoes': 39}


# What a call returns, so that a model can learn to tell it; units stand in the names.
class Arrival(TypedDict):
    arrived_at: str


class Watered(TypedDict):
    litres: int
    moisture_percent: int


class Harvest(TypedDict):
    pieces: int


class Vents(TypedDict):
    open_percent: int


class Moisture(TypedDict):
    moisture_percent: int


class Pests(TypedDict):
    pest: str


class Climate(TypedDict):
    temperature_c: float
    humidity_percent: int


class Tank(TypedDict):
    litres: int


@tool(motion=True, resources=['base'], examples=[
    ('Go to the basil.', {'bed': 'basil'}), ('Wait beside the lettuce.', {'bed': 'lettuce'})])
def drive_to(bed: Bed, context: ToolContext) -> Arrival:
    """Drive to a bed."""
    for left_m in range(6, 0, -1):
        context.report(1 - left_m / 6, f'{left_m} m left')
        context.wait(1.0)
    return {'arrived_at': bed}


@tool(resources=['hose'], examples=[
    ('Give the tomatoes 5 litres.', {'bed': 'tomatoes', 'litres': 5}),
    ('Water the basil.', {'bed': 'basil'})])
def water(bed: Bed, context: ToolContext, litres: Litres = 3) -> Watered:
    """
    Water a bed.

    Args:
        litres: how much, in litres
    """
    global tank_litres
    if litres > tank_litres:
        raise ToolError(f'there are only {tank_litres} litres in the tank')
    for poured in range(litres):
        context.report(poured / litres, f'{litres - poured} litres to go')
        context.wait(0.5)
    tank_litres -= litres
    moisture_percent[bed] = min(90, moisture_percent[bed] + 2 * litres)
    return {'litres': litres, 'moisture_percent': moisture_percent[bed]}


@tool(resources=['arm'], examples=[
    ('Pick the ripe strawberries.', {'crop': 'strawberries'}),
    ('We need some lettuce for tonight.', {'crop': 'lettuce'})])
def harvest(crop: Bed, context: ToolContext) -> Harvest:
    """Pick what is ripe of a crop."""
    for picked in range(8):
        context.report(picked / 8, f'{picked} picked')
        context.wait(1.0)
    return {'pieces': 8}


@tool(examples=[('Open the vents to 40 percent.', {'percent': 40}),
                ('Shut the vents.', {'percent': 0})])
def set_vents(percent: Percent) -> Vents:
    """
    Open or close the vents in the roof.

    Args:
        percent: how far they stand open, 0 is shut
    """
    return {'open_percent': percent}


@tool(effect='read_only', examples=[('Is the lettuce dry?', {'bed': 'lettuce'}),
                                    ('Do the cucumbers need water?', {'bed': 'cucumbers'})])
def soil_moisture(bed: Bed) -> Moisture:
    """Measure how moist the soil of a bed is."""
    return {'moisture_percent': moisture_percent[bed]}


@tool(effect='read_only', examples=[('Are there bugs on the basil?', {'bed': 'basil'}),
                                    ('Look for pests on the tomatoes.', {'bed': 'tomatoes'})])
def find_pests(bed: Bed, context: ToolContext) -> Pests:
    """Look at the leaves of a bed for pests."""
    context.wait(3.0)
    return {'pest': 'aphids' if bed == 'basil' else 'none'}


@tool(effect='read_only', examples=[('How warm is it in here?', {}),
                                    ('What is the humidity?', {})])
def climate() -> Climate:
    """Measure the temperature and the humidity of the air."""
    return {'temperature_c': 24.5, 'humidity_percent': 61}


@tool(effect='read_only', examples=[('How much water is left?', {}), ('Is the tank full?', {})])
def tank_level() -> Tank:
    """Tell how many litres are in the water tank."""
    return {'litres': tank_litres}


if __name__ == '__main__':
    ToolServer('greenhouse_tools', tools=[
        drive_to, water, harvest, set_vents, soil_moisture, find_pests, climate, tank_level]).spin()
