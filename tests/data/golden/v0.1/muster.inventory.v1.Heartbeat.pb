
%muster.inventory.v1.Heartbeat.host_id¢¯®¢Òçûì’