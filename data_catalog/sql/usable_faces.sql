-- The faces an experiment works with, of the videos whose extraction is ok: the main person for learning, and for
-- calibration and test everybody who is seen in enough of the frames. Reads roles(role, video_key, sha256).
SELECT roles.role, roles.video_key, faces.video_sha256, faces.track_id, faces.face_id, faces.frame_index
FROM roles
JOIN extraction_log ON extraction_log.video_sha256 = roles.sha256
JOIN faces
    ON faces.video_sha256 = roles.sha256
    AND faces.extraction = extraction_log.extraction
WHERE extraction_log.extraction = $extraction
    AND extraction_log.status = 'ok'
    AND (
        faces.track_id = 0
        OR (
            roles.role IN ('calibration', 'test')
            AND faces.track_share >= $min_track_share
            AND faces.track_share * extraction_log.frames_sampled >= $min_faces - 0.5
        )
    )
ORDER BY roles.role, roles.video_key, faces.track_id, faces.frame_index
