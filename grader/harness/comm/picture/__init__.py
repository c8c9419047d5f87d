"""Pictures of what ranks ran: one list of events, drawn on the terminal, as SVG and as a Chrome trace."""
