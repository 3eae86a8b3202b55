"""From dots to a patient's result: assay definition, counted signals per nucleus, evaluability, Katz classes. Pure: no database, no console."""
