"""The fields of Kubernetes' objects that cluster/ may use, as JSON Schema: a wrong or misplaced one fails.

Written after the API references of ray.io/v1 (KubeRay 1.6) and Kubernetes 1.33. The cluster has the last word: it knows
every field, and defaults; this knows those of the objects that our files are made of, so that a typo is found here.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
QUANTITIES: Schema = {  # "500m", "8Gi", 1
    "type": "object",
    "additionalProperties": {"type": ["string", "integer"], "pattern": r"^\d+(\.\d+)?(m|[KMGT]i?)?$"},
}


def fields(*required: str, **properties: Schema) -> Schema:
    """An object of these fields and no others."""
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def several(of: Schema) -> Schema:
    return {"type": "array", "items": of, "minItems": 1}


def one_of(*names: str) -> Schema:
    return {"enum": list(names)}


NAME: Schema = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 47}  # pods add to it
METADATA = fields("name", name=NAME, namespace=NAME, labels=TEXTS, annotations=TEXTS)

SECURITY = fields(
    allowPrivilegeEscalation=FLAG,
    capabilities=fields(add=several(TEXT), drop=several(TEXT)),
    privileged=FLAG,
    readOnlyRootFilesystem=FLAG,
    runAsGroup=COUNT,
    runAsNonRoot=FLAG,
    runAsUser=COUNT,
)
POD_SECURITY = fields(
    fsGroup=COUNT,
    runAsGroup=COUNT,
    runAsNonRoot=FLAG,
    runAsUser=COUNT,
    seccompProfile=fields("type", type=one_of("RuntimeDefault", "Unconfined", "Localhost"), localhostProfile=TEXT),
)
ENV_FROM = several(fields(secretRef=fields("name", name=TEXT), configMapRef=fields("name", name=TEXT), prefix=TEXT))
MOUNTS = several(fields("name", "mountPath", name=NAME, mountPath=TEXT, readOnly=FLAG, subPath=TEXT))
RESOURCES = fields(requests=QUANTITIES, limits=QUANTITIES)
CONTAINER = fields(
    "name",
    "image",
    name=NAME,
    image=TEXT,
    imagePullPolicy=one_of("Always", "IfNotPresent", "Never"),
    command=several(TEXT),
    args=several(TEXT),
    envFrom=ENV_FROM,
    ports=several(
        fields("containerPort", containerPort={"type": "integer", "minimum": 1, "maximum": 65535}, name=NAME)
    ),
    resources=RESOURCES,
    securityContext=SECURITY,
    volumeMounts=MOUNTS,
)
POD = fields(
    "spec",
    metadata=fields(labels=TEXTS, annotations=TEXTS),
    spec=fields(
        "containers",
        automountServiceAccountToken=FLAG,
        containers=several(CONTAINER),
        restartPolicy=one_of("Always", "OnFailure", "Never"),
        securityContext=POD_SECURITY,
        serviceAccountName=TEXT,
        nodeSelector=TEXTS,
        tolerations=several(
            fields(key=TEXT, operator=one_of("Exists", "Equal"), value=TEXT, effect=TEXT, tolerationSeconds=COUNT)
        ),
        volumes=several(
            fields(
                "name",
                name=NAME,
                emptyDir=fields(sizeLimit=TEXT, medium=TEXT),
                secret=fields("secretName", secretName=TEXT),
                persistentVolumeClaim=fields("claimName", claimName=TEXT),
            )
        ),
    ),
)

CLUSTER_SPEC = fields(
    "headGroupSpec",
    rayVersion={"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=fields(
        version=one_of("v1", "v2"),
        idleTimeoutSeconds=COUNT,
        upscalingMode=one_of("Default", "Aggressive", "Conservative"),
        image=TEXT,
        imagePullPolicy=TEXT,
        envFrom=ENV_FROM,
        resources=RESOURCES,
        securityContext=SECURITY,
        volumeMounts=MOUNTS,
    ),
    authOptions=fields("mode", mode=one_of("token", "disabled"), secretName=TEXT, enableK8sTokenAuth=FLAG),
    headServiceAnnotations=TEXTS,
    managedBy=TEXT,
    suspend=FLAG,
    headGroupSpec=fields(
        "template",
        rayStartParams=TEXTS,
        template=POD,
        serviceType=one_of("ClusterIP", "NodePort", "LoadBalancer"),
        enableIngress=FLAG,
    ),
    workerGroupSpecs=several(
        fields(
            "groupName",
            "minReplicas",
            "maxReplicas",
            "template",
            groupName=NAME,
            replicas=COUNT,
            minReplicas=COUNT,
            maxReplicas=COUNT,
            numOfHosts=COUNT,
            idleTimeoutSeconds=COUNT,
            suspend=FLAG,
            rayStartParams=TEXTS,
            template=POD,
        )
    ),
)


def _kind(api: str, kind: str, spec: Schema) -> Schema:
    parts = {"apiVersion": {"const": api}, "kind": {"const": kind}, "metadata": METADATA, "spec": spec}
    return fields(*parts, **parts)


SCHEMAS = {
    "RayCluster": _kind("ray.io/v1", "RayCluster", CLUSTER_SPEC),
    "RayJob": _kind(
        "ray.io/v1",
        "RayJob",
        fields(
            "entrypoint",
            "rayClusterSpec",
            activeDeadlineSeconds={"type": "integer", "minimum": 1},
            backoffLimit=COUNT,
            entrypoint=TEXT,
            entrypointNumCpus={"type": "number"},
            entrypointNumGpus={"type": "number"},
            entrypointResources=TEXT,
            jobId=TEXT,
            metadata=TEXTS,
            preRunningDeadlineSeconds=COUNT,
            rayClusterSpec=CLUSTER_SPEC,
            runtimeEnvYAML=TEXT,
            shutdownAfterJobFinishes=FLAG,
            submissionMode=one_of("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
            submitterConfig=fields(backoffLimit=COUNT),
            submitterPodTemplate=POD,
            suspend=FLAG,
            ttlSecondsAfterFinished=COUNT,
        ),
    ),
    "NetworkPolicy": _kind(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        fields(
            "podSelector",
            podSelector=fields(matchLabels=TEXTS),
            policyTypes=several(one_of("Ingress", "Egress")),
            ingress=several(
                fields(
                    **{
                        "from": several(
                            fields(
                                podSelector=fields(matchLabels=TEXTS),
                                namespaceSelector=fields(matchLabels=TEXTS),
                            )
                        )
                    },
                    ports=several(fields("port", port=COUNT, protocol=one_of("TCP", "UDP"))),
                )
            ),
        ),
    ),
    "PodMonitor": _kind(
        "monitoring.coreos.com/v1",
        "PodMonitor",
        fields(
            "selector",
            "podMetricsEndpoints",
            selector=fields(matchLabels=TEXTS),
            podMetricsEndpoints=several(fields(port=NAME, path=TEXT, interval=TEXT)),
        ),
    ),
}
