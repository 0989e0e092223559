"""Which program, mint and account is what on mainnet.

Sources: the constants of solana-dex-parser (programs, fee accounts), the documentation of Jito
(tip accounts), the projects' own pages. A program that isn't here costs a trade its high
confidence, not its existence.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct

SYSTEM: Final = "11111111111111111111111111111111"
TOKEN: Final = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
TOKEN_2022: Final = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"

SOL: Final = "So11111111111111111111111111111111111111112"
SOL_DECIMALS: Final = 9

USDC: Final = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
USDT: Final = "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB"
STABLE_MINTS: Final = frozenset(
    {
        USDC,
        USDT,
        "USD1ttGY1N17NEEHLmELoaybftRBUSErhqYiQzvEmuB",
        "2b1kV6DkPAnxd5ixfnxCpjxmKwqjjaYmCZfHsFu24GXo",  # PYUSD
        "2u1tszSeqZ3qBWF3uNGPFc8TzMk2tdiwknnRMWGWjGWH",  # USDG
    }
)
STABLE_DECIMALS: Final = 6

Kind = Literal["router", "launchpad", "venue", "lending", "escrow", "staking", "bridge"]
TRADING_KINDS: Final = frozenset[Kind](("router", "launchpad", "venue"))


class Program(Struct, frozen=True, gc=False):
    """`name` is the wire's `dex`. Kinds that trade: a router or bot passes orders on to venues; a
    launchpad sells what it minted; a venue is a pool or a book. With the others balances move
    both ways and nothing is traded."""

    name: str
    kind: Kind


PROGRAM_ADDRESSES: Final[Mapping[Kind, Mapping[str, Sequence[str]]]] = {
    "router": {
        "jupiter": (
            "JUP6LkbZbjS1jKKwapdHNy74zcZ3tLUZoi5QNyVTaV4",
            "JUP4Fb2cqiRUcaTHdrPC8h2gNsA2ETXiPDD33WcGuJB",
            "JUP3c2Uh3WA4Ng34tw6kPd2G4C5BB21Xo36Je1s32Ph",
            "JUP2jxvXaqu7NQY1GmNF4m1vodw12LVXYxbFL2uJvfo",
            "61DFfeTKM7trxYcPQCM78bJ794ddZprZpAwAnLiwTpYH",  # RFQ
        ),
        "okx": (
            "6m2CDdhRgxpH4WjvdzxAYbGxwdGUz5MziiL5jek2kBma",
            "HV1KXxWFaSeriyFvXyx48FqG9BoFbfinB8njCJonqP7K",
        ),
        "raydium": ("routeUGWgWzqBWFcrCfv8tritsqukccJPu3q5GPP3xS",),
        "sanctum": ("stkitrT1Uoy18Dk1fTrgPw8W6MVzoCfYoAFT4MLsmhq",),
        "photon": ("BSfD6SHZigAfDWSjzD5Q41jw8LmKwtmjskPH9XW1mrRW",),
        "banana_gun": ("BANANAjs7FJiPQqJTGFzkZJndT9o7UmKiYYGaJz6frGu",),
        "mintech": ("minTcHYRLVPubRK8nt6sqe2ZpWrGDLQoNLipDJCGocY",),
        "bloom": ("b1oomGGqPKGD6errbyfbVMBuzSC8WtAAYo8MwNafWW1",),
        "maestro": ("MaestroAAe9ge5HTc64VbBQZ6fP77pwvrhM8i1XWSAx",),
        "nova": ("NoVA1TmDUqksaj2hB1nayFkPysjJbFiU76dT4qPw2wm",),
        "apepro": ("JSW99DKmxNyREQM14SQLDykeBvEUG63TeohrvmofEiw",),
    },
    "launchpad": {
        "pump_fun": ("6EF8rrecthR5Dkzon8Nwu78hRvfCKubJ14M5uBEwF6P",),
        "launchlab": ("LanMV9sAd7wArD4vJFi2qDdfnVhFxYSUg6eADduJ3uj",),
        "meteora": ("dbcij3LWUppWqq96dh6gJWwBifmcGfLSB5D4DuSMaqN",),
        "moonit": ("MoonCVVNZFSYkqNXP6bxHLPL6QQJiMagDL3qcqUQTrG",),
        "boop": ("boop8hVGQGqehUK2iVEMEnMrL5RbjywRzHKBmBE7ry4",),
        "heaven": ("HEAVENoP2qxoeuF8Dj2oT1GHEnu49U5mJYkdeC8BAX2o",),
    },
    "venue": {
        "raydium": (
            "675kPX9MHTjS2zt1qfr1NYHuzeLXfQM9H24wFSUt1Mp8",
            "5quBtoiQqxF9Jv6KYKctB59NT3gtJD2Y65kdnB1Uev3h",
            "CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C",
            "CAMMCzo5YL8w4VFF8KVHrK22GGUsp5VTaW7grrKgrWqK",
        ),
        "pump_swap": ("pAMMBay6oceH9fJKBRHGP5D4bD4sWpmSwMn52FMfXEA",),
        "orca": (
            "whirLbMiicVdio4qvUfM5KAg6Ct8VwpYzGff3uctyCc",
            "9W959DqEETiGZocYWCQPaJ6sBmUzgfxXfqGeTEdp3aQP",
            "DjVE6JNiYqPL2QXyCUUh8rNjHrbz9hXHNYt99MQ59qw1",
        ),
        "meteora": (
            "LBUZKhRxPF3XUpBCjp4YzTKgLccjZhTSDM9YuVaPwxo",
            "Eo7WjKq67rjJQSZxS6z3YkapzY3eMj6Xy8X5EQVn5UaB",
            "cpamdpZCGKUy5JxQXB4dcpGPiikHawvSWAd6mEn1sGG",
        ),
        "phoenix": ("PhoeNiXZ8ByJGLkxNfZRnkUfjvmuYqLR89jjFHGqdXY",),
        "openbook": ("opnb2LAfJYbRMAHHvqjCwQxanZn7ReEHp1k81EohpZb",),
        "lifinity": (
            "EewxydAPCCVuNEyrVN68PuSYdQ7wKn27V9Gjeoi8dy3S",
            "2wT8Yq49kHgDzXuPxZSaeLaH1qbmGXtEyPy64bL7aD3c",
        ),
        "solfi": ("SoLFiHG9TfgtdUXUjWAxi3LtvYuFyDLVhBWxdMZxyCe",),
        "zerofi": ("ZERor4xhbUycZ6gb9ntrhqscUcZmAbQDjEAtCf4hbZY",),
        "obric": ("obriQD1zbpyLz95G5n7nJe6a4DPjpFwa5XYPoNm113y",),
        "aldrin": (
            "AMM55ShdkoGRB5jVYPjWziwk8m5MpwyDgsMWHaMSQWH6",
            "CURVGoZn8zycx6FXwwevgBTB2gVvdbGTEpvMJDbgs2t4",
        ),
        "crema": ("CLMM9tUoggJu2wagPkkqs9eFG4BWhVBZWkP1qv3Sp7tR",),
        "goosefx": ("GAMMA7meSFWaBXF25oSUgmGRwaW6sCMFLmBNiMSdbHVT",),
        "mercurial": ("MERLuDFBMmsHnsBPZw2sDQZHvXFMwp8EdjudcU2HKky",),
        "saber": ("SSwpkEEcbUqx4vtoEByFjSkhKdCT862DNVb52nZg1UZ",),
        "saros": ("SSwapUtytfBdBn1b9NUGG6foMVPtcWgpRU32HToDUZr",),
        "stabble": (
            "swapNyd8XiQwJ6ianp9snpu4brUqFxadzvHebnAXjJZ",
            "swapFpHZwjELNnjvThjajtiVmkz3yPQEHjLtka2fwHW",
        ),
        "onedex": ("DEXYosS6oEGvk8uCDayvwEZz4qEyDJRf9nFgYCaqPMTm",),
    },
    "lending": {
        "jupiter_lend": (
            "jupr81YtYssSyPt8jbnGuiWon5f6x9TcDEFxYe3Bdzi",
            "jup3YeL8QhtSx1e253b2FDvsMNC87fDrgQZivbrndc9",
            "jupeiUmn818Jg1ekPURTpr4mFo29p46vygyykFJ3wZC",
        ),
        "kamino": (
            "KLend2g3cP87fffoy8q1mQqGKjrxjC8boSyAYavgmjD",
            "KvauGMspG5k6rtzrqqn7WNn3oZdyKqLKwK2XWQ8FLjd",  # vaults
            "6LtLpnUFNByNXLyCoK9wA2MykKAmQNZKBdY8s47dehDc",  # liquidity
        ),
        "marginfi": ("MFv2hWf31Z9kbCa1snEPYctwafyhdvnV7FZnsebVacA",),
        "save": ("So1endDq2YkqhipRh3WViPa8hdiSpxWy6z3Z6tMCpAo",),
        "drift": ("dRiftyHA39MWEi3m9aunc5MzRF1JYuBsbn6VPcn33UH",),
    },
    "escrow": {
        "jupiter_dca": ("DCA265Vj8a9CEuX1eb1LWRnDT7uK6q1xMipnNyatn23M",),
        "jupiter_limit": (
            "jupoNjAxXgZ4rjzxzPMP4oxduvQsQtZzyknqvzYNrNu",
            "j1o2qRpjcyUwEvwtcfhEQefh773ZgjxcVRry7LDqg5X",
        ),
        "jupiter_va": ("VALaaymxQh2mNy2trH9jUqHT1mTow76wpTcGmSWSwJe",),
        "jupiter_lock": ("LocpQgucEQHbqNABEYvBvwoxCPsSbG91A1QaQhQQqjn",),
        "raydium_lock": ("LockrWmn6K5twhz3y9w1dQERbmgSaRkfnTeTKbpofwE",),
        "streamflow": ("strmRqUCoQUgGUan5YhzUZa6KqdzwX5L6FpUxfmKg5m",),
    },
    "staking": {
        "stake": ("Stake11111111111111111111111111111111111111",),
        "stake_pool": (
            "SPoo1Ku8WFXoNDMHPsrGSTSG1Y47rzgn41SLUNakuHy",
            "SP12tWFxD9oJsVWNavTTBZvMbA6gkAmxtVgxdqvyvhY",  # Sanctum, one validator each
            "SPMBzsVUuoHA4Jm6KunbsotaahvVikZs1JyTW6iJvbn",  # Sanctum, many
        ),
        "marinade": ("MarBmsSgKXdrN1egZf5sqe1TMai9K1rChYNDJgjq7aD",),
    },
    "bridge": {
        "cctp": (
            "CCTPmbSD7gX1bxKPAmg77w8oFzNFpaQiQUWD43TKaecd",
            "CCTPiPYPc6AsJuwueEnWgSgucamXDZwBd53dQ11YiKX3",
            "CCTPV2Sm4AdWt5296sk4P66VBZ7bEhcARwFaaS9YPbeC",
            "CCTPV2vPZJS2u2BBsUoscuikbYjnpFmbFsvVuJdgUMQe",
        ),
        "debridge": (
            "src5qyZHqTqecJV4aY6Cb6zDZLMDzrDKKezs22MPHr4",
            "dst5MGcFPoBeREFAA5E3tU5ij8m5uVYwkzkSAbsLbNo",
        ),
        "mayan": (
            "BLZRi6frs4X4DNLw56V4EXai1b6QVESN1BhHBTYM9VcY",
            "FC4eXxkyrMPTjiYUpp4EAnkmwMbQyZ6NDCh1kfLn6vsf",
        ),
        "wormhole": (
            "worm2ZoG2kUd4vFXhvjh93UUH596ayRfgQ2MgjNMTth",
            "wormDTUJ6AWPNvk59vGQbDvGJmqbDTdgWgAqcLBCgUb",
        ),
    },
}
PROGRAMS: Final = {
    address: Program(name, kind)
    for kind, programs in PROGRAM_ADDRESSES.items()
    for name, addresses in programs.items()
    for address in addresses
}

# Programs of the kind `escrow` that never trade: they give back what they got, later.
LOCKS: Final = frozenset(("jupiter_lock", "raydium_lock", "streamflow"))

# What an enhanced object says where its publisher cut the instructions off.
SOURCES: Final = {
    "JUPITER": Program("jupiter", "router"),
    "OKX_DEX_ROUTER": Program("okx", "router"),
    "PUMP_FUN": Program("pump_fun", "launchpad"),
    "PUMP_AMM": Program("pump_swap", "venue"),
    "RAYDIUM": Program("raydium", "venue"),
    "ORCA": Program("orca", "venue"),
    "METEORA": Program("meteora", "venue"),
    "PHOENIX": Program("phoenix", "venue"),
    "LIFINITY": Program("lifinity", "venue"),
}

# Who takes tips and fees: hints, where the flow leaves open which of them a payment is. Their
# takers are many and change; a payment beside a trade is one without being listed here.
TIP_ACCOUNTS: Final = frozenset(
    {
        "96gYZGLnJYVFmbjzopPSU6QiEV5fGqZNyN9nmNhvrZU5",  # Jito, 8 accounts
        "HFqU5x63VTqvQss8hp11i4wVV8bD44PvwucfZ2bU7gRe",
        "Cw8CFyM9FkoMi7K7Crf6HNQqf4uEMzpKw6QNghXLvLkY",
        "ADaUMid9yfUytqMBgopwjb2DTLSokTSzL1zt6iGPaS49",
        "DfXygSm4jCyNCybVYYK6DwvWqjKee8pbDmJGcLWNDXjh",
        "ADuUkR4vqLUMWXxW9gh6D6L8pMSawimctcNZ5pGwDcEt",
        "DttWaMuVvTiduZRnguLF7jNxTgiMBZ1hyAumKUiL2KRL",
        "3AVi9Tg9Uo68tJfuvoKvqKNWKkC5wPdSSdeBnizKZ6jT",
    }
)
FEE_ACCOUNTS: Final = frozenset(
    {
        "AVUCZyuT35YSuj4RH7fwiyPu82Djn2Hfg7y2ND2XcnZH",  # Photon
        "9yMwSPk9mrXSN7yDHUuZurAh1sjbJsfpUqjZ7SvVtdco",  # Trojan
        "9yj3zvLS3fDMqi1F8zhkaWfq8TZpZWHe6cz1Sgt7djXf",  # Phantom
        "tzvXws1qhmfdPkPcprezULCDQPAJqzPhbZ3SMrqRPNE",  # Phantom, earlier
        "4cLUBQKZgCv2AqGXbh8ncGhrDRcicUe3WSDzjgPY2oTA",  # MetaMask
        "45ruCyfdRkWpRNGEqWzjCiXRHkZs8WXCLQ67Pnpye7Hp",  # Jupiter referrals
        "CebN5WGQ4jvEPvsVU4EoHEpgzq1VV7AbicfhtW4xC9iM",  # Pump.fun
        "62qc2CNXwrYqQScmEdiZFFAnJR262PxWEuNQtxfafNgV",  # PumpSwap, 8 accounts
        "FWsW1xNtWscwNmKv6wVsU1iTzRN6wmmk3MjxRP5tT7hz",
        "G5UZAVbAf46s7cKWoyKu8kYTip9DGTpbLZ2qa9Aq69dP",
        "7hTckgnGnLQR6sdH7YkqFTAA7VwTfYFaZ6EhEsU3saCX",
        "9rPYyANsfQZw3DnDmKE3YCQF5E8oD89UXoHn9JFEhJUz",
        "7VtfL8fvgNfhz17qKRMjzQEXgbdpnHHHQRh54R9jP2RJ",
        "AVmoTthdrX6tKt4nDjco2D775W2YK3sDhxPcMmzUAmTY",
        "JCRGumoE9Qi5BBgULTgdgTLjSgkCMSbF62ZZfGs84JeU",
    }
)
