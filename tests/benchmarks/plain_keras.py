"""What somebody would write without coldframe: a Keras head and a logistic regression on a Parquet file of features.

Reads a Parquet file with ``image_id, label, split, vector`` and prints, as JSON, the predictions for its test rows.
It shares no code with coldframe, on purpose.
"""

from __future__ import annotations

import json
import sys

import keras
import numpy as np
import pyarrow.parquet as pq
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_class_weight

table = pq.read_table(sys.argv[1]).sort_by("image_id")
x = np.array(table["vector"].to_pylist(), np.float32)
label = np.array(table["label"].to_pylist())
split = np.array(table["split"].to_pylist())
names = np.unique(label[split == "train"])
y = np.searchsorted(names, label)

seed = int(sys.argv[2])
# layer by layer: set_random_seed would have tf.data shuffle each epoch into the same order, which costs points
start = [keras.initializers.GlorotUniform(seed=2 * seed + layer) for layer in range(2)]
model = keras.Sequential(
    [
        keras.layers.BatchNormalization(),
        keras.layers.Dense(600, activation="relu", kernel_initializer=start[0]),
        keras.layers.Dropout(0.4, seed=seed),
        keras.layers.Dense(len(names), activation="softmax", kernel_initializer=start[1]),
    ]
)
model.compile(
    optimizer=keras.optimizers.Adagrad(learning_rate=0.01),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
train, val = split == "train", (split == "val") & np.isin(label, names)
weights = compute_class_weight("balanced", classes=np.unique(y[train]), y=y[train])
model.fit(
    x[train],
    y[train],
    batch_size=32,
    epochs=20,
    validation_data=(x[val], y[val]),
    class_weight=dict(enumerate(weights)),
    callbacks=[
        keras.callbacks.EarlyStopping(patience=3, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau(factor=0.1, patience=2),
    ],
    verbose=0,
)
test = split == "test"
regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, C=0.01)).fit(x[train], label[train])
ids = np.array(table["image_id"].to_pylist())[test]
print(
    json.dumps(
        {
            "keras": dict(zip(ids, names[model.predict(x[test], verbose=0).argmax(axis=1)].tolist(), strict=True)),
            "logistic": dict(zip(ids, regression.predict(x[test]).tolist(), strict=True)),
        }
    )
)
