
!muster.inventory.v1.HostChange.id'muster.inventory.v1.HostChange.group_id%muster.inventory.v1.HostChange.job_id