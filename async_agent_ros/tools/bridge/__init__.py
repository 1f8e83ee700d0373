"""
The bridge: a YAML file names actions, services and topics of the ROS graph, and they are tools.

From the interface's type to a tool: `interfaces` loads the class, `definitions` reads the comments
of its installed text, `shapes` and `friendly` make the JSON Schema and convert JSON <-> message,
`options` applies what the file says about single fields. `config` reads the file; `action_tool`,
`service_tool` and `topic_tools` do the calls; `bridge` serves them; `importer` writes the file.
"""
