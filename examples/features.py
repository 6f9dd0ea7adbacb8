"""A table with numbers and categories: columns become vectors, a model learns from them.

What is adapted here goes into the saved model: it takes the table as it is.
"""
import numpy as np

import nnc as keras


def make_table(rows, rng):
    """Flats: size, year, town, heating and floor; and the rent."""
    towns = np.array(["Ulm", "Bonn", "Kiel", "Jena"])
    table = {
        "size": rng.uniform(20, 160, rows).round(1),
        "year": rng.integers(1900, 2025, rows).astype("float32"),
        "town": rng.choice(towns, rows, p=[0.4, 0.3, 0.2, 0.1]),
        "heating": rng.choice(["gas", "oil", "heat pump"], rows),
        "floor": rng.integers(0, 8, rows),
    }
    by_town = dict(zip(towns, (14.0, 12.0, 10.0, 9.0)))
    rent = table["size"] * np.array([by_town[town] for town in table["town"]])
    rent += 90 * (table["heating"] == "heat pump") + 10 * table["floor"]
    rent += 150 * (table["year"] > 1990) + rng.normal(0, 30, rows)
    return table, (rent / 1000).astype("float32")


def main():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    table, rent = make_table(4000, rng)
    new, new_rent = make_table(500, rng)

    FeatureSpace = keras.utils.FeatureSpace
    space = FeatureSpace(
        features={
            "size": "float_normalized",
            "year": FeatureSpace.float_discretized(num_bins=12),
            "town": "string_categorical",
            "heating": "string_categorical",
            "floor": "integer_categorical",
        },
        crosses=[("town", "heating")],
        crossing_dim=16,
    )
    space.adapt(table)
    print("one row as a vector:", space({name: column[0] for name, column in table.items()}).shape)

    x = keras.layers.Dense(32, activation="relu")(space.get_encoded_features())
    model = keras.Model(space.get_inputs(), keras.layers.Dense(1)(x))
    model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    model.fit(table, rent, epochs=20, validation_split=0.1, verbose=2)

    error = model.evaluate(new, new_rent, verbose=0)[1]
    print(f"mean error of the rent of {len(new_rent)} other flats: {1000 * error:.0f}")
    flat = {"size": [62.0], "year": [1996.0], "town": ["Ulm"], "heating": ["gas"], "floor": [3]}
    flat = {name: np.array(value) for name, value in flat.items()}
    print(f"a flat in Ulm: {1000 * model.predict(flat, verbose=0).item():.0f}")
    return error


if __name__ == "__main__":
    main()
