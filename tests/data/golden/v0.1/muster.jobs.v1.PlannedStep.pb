
muster.jobs.v1.PlannedStep.name&muster.jobs.v1.PlannedStep.description