
 muster.placement.v1.Reason.check"muster.placement.v1.Reason.message-muster.placement.v1.Reason.recommended_action