"""The plugin that rqt loads (plugin.xml names it)."""
from async_agent_ros.rqt.agent_widget import AgentWidget
from async_agent_ros.watch.link import AgentLink
from rqt_gui_py.plugin import Plugin


class AgentPlugin(Plugin):
    """Puts an AgentWidget into rqt and keeps its settings in the perspective."""

    def __init__(self, context):
        super().__init__(context)
        self.setObjectName('AsyncAgent')
        self.widget = AgentWidget(AgentLink)
        if context.serial_number() > 1:
            self.widget.setWindowTitle(
                f'{self.widget.windowTitle()} ({context.serial_number()})')
        context.add_widget(self.widget)

    def shutdown_plugin(self):
        """Leave the graph."""
        self.widget.shut_down()

    def save_settings(self, plugin_settings, instance_settings):
        """Keep what was set, with the perspective."""
        for name, value in self.widget.settings().items():
            instance_settings.set_value(name, value)

    def restore_settings(self, plugin_settings, instance_settings):
        """Take over what was kept."""
        self.widget.restore(instance_settings.value)
