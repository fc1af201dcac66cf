
muster.jobs.v1.GroupCreate.name$muster.jobs.v1.GroupCreate.parent_id&muster.jobs.v1.GroupCreate.description